"""The wire: authentication, JSON and XML, paging, errors, one module per resource."""
