"""HTTP: routes, who calls, the dispatcher, headers and the server."""
