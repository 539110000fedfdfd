"""Jobs in a SQL database: model, tables, store and batch writer."""
