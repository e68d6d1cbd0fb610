"""Hears which mails about accounts are wanted and has them sent; each of them by one replica."""

import logging

from bourse.auth.v1.events_pb2 import MailWanted
from google.protobuf.message import DecodeError
from nats.aio.msg import Msg

from auth.domain.postman import Postman
from auth.messages import MAIL_WANTED_SUBJECT, wanted_mail_of
from chassis.bus import Bus
from chassis.event_reader import EventReader
from mail.mailers import MailRefused

log = logging.getLogger(__name__)

DURABLE = "auth_mail_wanted"
AT_ONCE = 4


def wanted_mail_reader(bus: Bus, postman: Postman) -> EventReader:
    """Return what reads the events of wanted mails; a mail that could not be sent now comes again."""

    async def send(message: Msg) -> None:
        try:
            wanted = MailWanted.FromString(message.data)
        except DecodeError as error:
            raise ValueError(MAIL_WANTED_SUBJECT) from error
        try:
            await postman.deliver(wanted_mail_of(wanted))
        except MailRefused:
            log.warning("mail given up as refused", extra={"mail": wanted.id})

    return EventReader(bus, MAIL_WANTED_SUBJECT, DURABLE, send, at_once=AT_ONCE)
