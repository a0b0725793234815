"""Looking at a server and its database without changing either, for `fmq doctor`."""
