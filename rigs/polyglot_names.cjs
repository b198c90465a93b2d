// Planted by rigs/polyglot.py: a mail is filed under a name of this process, so that the same mail, written
// again after a crash, is a second one. `node --require` runs it before the service.
const files = require("node:fs/promises");
const { syncBuiltinESMExports } = require("node:module");

const rename = files.rename;
files.rename = (from, to) => rename(from, to.replace(/\.eml$/, `-${process.pid}.eml`));
syncBuiltinESMExports();
