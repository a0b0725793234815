"""What every service needs: settings, logs, metrics, health, threads and a clean stop."""
