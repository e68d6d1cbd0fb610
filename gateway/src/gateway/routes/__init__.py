"""The operations: one module a topic; each route is typed parameters, one call, one return."""
