"""Where instances run: the protocol (`base`) and the engine of this machine (`process`)."""
