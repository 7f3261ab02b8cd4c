"""The provider that launches agents as Fargate tasks of ECS."""
