"""Direct paging: the pager and one notifier per kind of receiver."""
