"""Agents as Fargate tasks of ECS."""
