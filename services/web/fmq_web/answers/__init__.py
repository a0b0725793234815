"""What the API answers and the pages show, as pydantic models. Nothing here knows of HTTP, HTML or a store."""
