"""What a client of the service needs: start it, reach it, ask it, stop it."""
