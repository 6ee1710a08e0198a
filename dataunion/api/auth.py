"""Who asks, and whether they may: API keys with scopes, or a session of the staff."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar

from django.contrib.auth.models import AnonymousUser
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from dataunion import access, quota
from dataunion.access import Scope
from dataunion.conf import conf
from dataunion.models import ApiKey

if TYPE_CHECKING:
    from rest_framework.views import APIView  # which loads this module, for its default classes


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer du_…`. Request.auth is the key's row."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, ApiKey] | None:
        """Return the key, or None where the header speaks of something else."""
        scheme, _, key = get_authorization_header(request).partition(b" ")
        if scheme.lower() != b"bearer":
            return None
        try:
            return AnonymousUser(), access.find_key(key.strip().decode("latin-1"), timezone.now())
        except access.KeyRefusedError as error:
            raise AuthenticationFailed(str(error)) from None

    def authenticate_header(self, request: Request) -> str:
        """Return WWW-Authenticate of a 401."""
        return "Bearer"


class HasScope(BasePermission):
    """A key needs the scope that the view names for the method; a session needs staff, and the view's permission.

    Views say `scopes = {"GET": Scope.READ}`. Of the staff anyone may read; the rest is for operators, except where a
    view says `for_all_staff = True`.
    """

    message = "Only staff may do this."

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Decide; a method that the view does not have is answered 405 later."""
        method = "GET" if request.method == "HEAD" else str(request.method)
        if isinstance(request.auth, ApiKey):
            scopes: Mapping[str, Scope] = getattr(view, "scopes", {})
            return self._key_may(request.auth, scopes.get(method))
        if not request.user.is_staff:
            return False
        self.message = f"This needs the permission {access.OPERATE}."
        return method == "GET" or getattr(view, "for_all_staff", False) or request.user.has_perm(access.OPERATE)

    def _key_may(self, key: ApiKey, scope: Scope | None) -> bool:
        self.message = f"This needs a key with the scope {scope}; this one has: {', '.join(key.scopes)}."
        return scope is None or access.may(key, scope)


class KeyThrottle(BaseThrottle):
    """So many requests a minute for each key."""

    window_s: ClassVar[int] = 60

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock

    def allow_request(self, request: Request, view: APIView) -> bool:
        """Count this request and say whether it is within the limit."""
        if not isinstance(request.auth, ApiKey):
            return True
        now = self._clock()
        self._left_s = self.window_s - now % self.window_s
        limit = conf().api_requests_per_minute
        return quota.admits(f"api-requests-{request.auth.pk}", at_most=limit, window_s=self.window_s, now_s=now)

    def wait(self) -> float:
        """Return after how many seconds a request is let in again."""
        return self._left_s


def caller(request: Request) -> str:
    """Return who asks, as it stands in triggers and logs: at most 90 characters, never the key."""
    if isinstance(request.auth, ApiKey):
        return f"API key {request.auth.prefix} ({request.auth.name})"[:90]
    return request.user.get_username()[:90]
