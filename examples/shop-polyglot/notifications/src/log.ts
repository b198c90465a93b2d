// One line of JSON on standard error for each thing worth telling.

export function log(message: string, more: Record<string, unknown> = {}): void {
  process.stderr.write(JSON.stringify({ at: new Date().toISOString(), message, ...more }) + "\n");
}
