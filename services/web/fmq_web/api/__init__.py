"""The API under /api/v1: endpoints, problems and OpenAPI."""
