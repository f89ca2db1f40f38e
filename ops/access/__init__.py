"""Users of RabbitMQ and roles of PostgreSQL, each with what it needs and nothing else."""
