"""Notifications: events that people are told of, on services that apprise knows.

`notifier` has the channels, `outlet` is one of them, `service` is the only module that knows apprise, `threads` keeps
what blocks off the event loop, and `address` finds out where a service is.
"""

from reconciler.adapters.notify.address import ReadSecret, address_of
from reconciler.adapters.notify.notifier import Notifier
from reconciler.adapters.notify.service import Service, open_service

__all__ = ["Notifier", "ReadSecret", "Service", "address_of", "open_service"]
