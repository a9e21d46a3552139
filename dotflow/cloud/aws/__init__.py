"""Amazon Web Services: what a workflow needs on ECS and on CodeBuild, as files and as changes."""
