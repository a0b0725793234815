"""The built-in handlers, by the name that ``--handler`` takes."""

BUILTIN = {"log": "fmq_processor.handlers.log:handle"}
