"""What schemathesis must not take for a mistake."""
import schemathesis

TIMEOUT = "X-Request-Timeout-Ms"


@schemathesis.hook
def filter_case(_, case):
    """A header that nobody described is not for us, and passed over."""
    described = {parameter.name.lower() for parameter in case.operation.headers}
    return all(name.lower() in described | {"authorization"} for name in case.headers or {})


@schemathesis.hook
def map_case(_, case):
    """Who waits for a millisecond only is answered with 504, which is right."""
    given = str((case.headers or {}).get(TIMEOUT, ""))
    if given.isascii() and given.isdigit() and 1 <= int(given) <= 30_000:
        case.headers[TIMEOUT] = "30000"
    return case
