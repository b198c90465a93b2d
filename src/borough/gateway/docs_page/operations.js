// The operations of an OpenAPI document, each with all that is said of it. The console reads them, too.

const METHODS = ["get", "post", "put", "patch", "delete"];

export function readOperations(api, resolve) {
  const found = [];
  for (const [path, item] of Object.entries(api.paths || {})) {
    for (const method of METHODS) {
      const raw = item[method];
      if (!raw) continue;
      found.push({
        ...raw, path, method: method.toUpperCase(), id: raw.operationId || `${method}-${path}`,
        service: (raw.tags && raw.tags[0]) || path.split("/")[1] || "other",
        parameters: [...(item.parameters || []), ...(raw.parameters || [])].map(resolve).filter((each) => each.in !== "cookie"),
        requestBody: raw.requestBody ? resolve(raw.requestBody) : null,
        security: raw.security || api.security || [],
      });
    }
  }
  return found;
}
