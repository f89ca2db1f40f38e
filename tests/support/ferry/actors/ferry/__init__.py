"""The crossing: in a step, in an await, in a durable sleep."""
