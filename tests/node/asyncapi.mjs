// Reads an AsyncAPI document from standard input with the official parser; prints what it finds as JSON.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const { Parser } = createRequire(process.argv[2] + "/")("@asyncapi/parser");
const { document, diagnostics } = await new Parser().parse(readFileSync(0, "utf8"));
const found = diagnostics.map(({ code, message, path, severity }) => ({ code, message, path, severity }));
const channels = document?.channels().all().map((channel) => [
  channel.address(),
  channel.messages().all().map((message) => message.name()),
]);
const operations = document?.operations().all().map((operation) => [operation.id(), operation.action()]);
console.log(JSON.stringify({ diagnostics: found, channels, operations }));
