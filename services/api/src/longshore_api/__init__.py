"""Projects the log into PostgreSQL and serves it; issues credentials; decides nothing about tasks."""
