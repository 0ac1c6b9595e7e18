"""Notifications: events that people are told of, on services that apprise knows.

`notifier` has the channels, `outlet` is one of them, `service` is the only module that knows apprise, `threads` keeps
what blocks off the event loop, and `address` finds out where a service is.
"""

from reconciler.adapters.notify.address import address_in_file, address_of
from reconciler.adapters.notify.notifier import Notifier
from reconciler.adapters.notify.service import open_service
from reconciler.app.settings_notifications import ChannelSettings
from reconciler.errors import Invalid

__all__ = ["Notifier", "address_fault", "address_of", "open_service"]


def address_fault(channel: ChannelSettings) -> Invalid | None:
    """What is wrong with the address in the channel's file; None if nothing is. Blocks, and sends nothing."""
    try:
        open_service(address_in_file(channel))
    except Invalid as error:
        return error
    return None
