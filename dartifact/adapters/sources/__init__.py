"""Extractors that ship with the engine: REST and Salesforce."""
