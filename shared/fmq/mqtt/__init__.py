"""Publishing to a broker with paho (extra ``mqtt``): what the handler ``mqtt`` and the web page share (docs/adr/0028)."""
