"""fmq's web page: see and repair the queues."""
