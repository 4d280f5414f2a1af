"""The jobs: operations, the engine with its turns, states, and the store."""
