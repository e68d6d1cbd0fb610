"""The words of mails about accounts, plain and as simple HTML.

Nothing that somebody else may have typed is in them but the address itself: a display name is whatever whoever
registers the address wants its owner to read.
"""

from dataclasses import dataclass
from html import escape
from urllib.parse import urlsplit

from pydantic import SecretStr

from auth.domain.users import User
from auth.domain.wanted_mails import MailKind, WantedMail
from mail.messages import Letter

PAGE = "account"


@dataclass(frozen=True, slots=True)
class _Wording:
    subject: str
    why: str
    how_long: str
    button: str
    if_not_you: str
    fragment: str


_WORDINGS = {
    MailKind.VERIFY_EMAIL: _Wording(
        subject="Verify your e-mail address",
        why="An account at {site} was made with your address, {email}. To show that the address is yours, open:",
        how_long="The link works for 24 hours.",
        button="Verify the address",
        if_not_you="If it wasn't you who made the account, do nothing: the address stays unverified.",
        fragment="verify",
    ),
    MailKind.RESET_PASSWORD: _Wording(
        subject="Set a new password",
        why="Somebody asked for a new password for the account {email} at {site}. To set one, open:",
        how_long="The link works once, for one hour. Setting a new password signs the account out everywhere.",
        button="Set a new password",
        if_not_you="If it wasn't you who asked, do nothing: the password stays as it is.",
        fragment="reset",
    ),
}

_HTML = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{subject}</title>
</head>
<body style="margin:0;padding:16px;background:#ffffff;color:#1a1a1a;font:16px/1.5 Arial,Helvetica,sans-serif">
<div style="max-width:480px;margin:0 auto;overflow-wrap:anywhere">
<p>{why}</p>
<p style="margin:24px 0">
<a href="{link}" style="display:inline-block;padding:12px 20px;border-radius:6px;background:#0b5cad;color:#ffffff;\
text-decoration:none">{button}</a>
</p>
<p>{how_long}</p>
<p>{if_not_you}</p>
</div>
</body>
</html>
"""


def letter_of(mail: WantedMail, user: User, token: SecretStr, *, public_url: str) -> Letter:
    """Return the letter that carries a token to the account's address.

    Args:
        mail: what was asked for; gives the letter its id and date, which are the same each time it is tried.
        user: whose account it is.
        token: what the link carries, behind `#` so that no server's log has it.
        public_url: where people reach the suite, without a slash at the end.
    """
    wording = _WORDINGS[mail.kind]
    link = f"{public_url}/{PAGE}#{wording.fragment}={token.get_secret_value()}"
    why = wording.why.format(site=urlsplit(public_url).netloc, email=user.email)
    paragraphs = ["Hello,", why, link, wording.how_long, wording.if_not_you]
    html = _HTML.format(
        subject=escape(wording.subject),
        why=escape(why),
        link=escape(link),
        button=escape(wording.button),
        how_long=escape(wording.how_long),
        if_not_you=escape(wording.if_not_you),
    )
    return Letter(
        id=f"{mail.kind.value}-{mail.id}",
        to=user.email,
        subject=wording.subject,
        text="\n\n".join(paragraphs) + "\n",
        html=html,
        dated_at=mail.requested_at,
    )
