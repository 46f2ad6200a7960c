"""Accept one message: all of it durable, or none of it. Both doors use it."""
