"""The pages: routes, templates and forms."""
