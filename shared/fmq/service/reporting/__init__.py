"""What a service tells others about itself: the service manager, the other services of its store, and Prometheus."""
