"""The wrong inputs that are tried, and what their answers have to say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class WrongInput:
    """What somebody types, and what the answer has to say: what is wrong, what is expected, what to do next.

    ``{broker}`` and ``{port}`` in the words are a Mosquitto with users, and a port that is taken. ``blocked`` packages are not
    installed. ``files`` are in the folder, by their names. ``code`` is the exit code.
    """

    title: str
    command: str
    says: Sequence[str]
    code: int = 2
    environ: Mapping[str, str] = field(default_factory=dict)
    blocked: Sequence[str] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    hides: str = "hunter2"


WRONG_INPUTS = (
    WrongInput("a misspelt command", "fmq stauts", ("'stauts'", "'status'", "fmq --help")),
    WrongInput("a misspelt option", "fmq status --jsn", ("'--jsn'", "'--json'", "fmq status --help")),
    WrongInput("a misspelt queue", "fmq peek 'sensor/#'", ("'sensor/#'", "'sensors/#'", "fmq status"), code=4),
    WrongInput(
        "a topic where a queue is expected", "fmq peek sensors/1/temp", ("'sensors/1/temp'", "'sensors/#'"), code=4
    ),
    WrongInput(
        "a misspelt handler",
        "fmq process --handler webhok",
        ("'webhok'", "package.module:function or a built-in", "Did you mean 'webhook'?"),
    ),
    WrongInput(
        "a handler's module that is not there",
        "fmq process --handler mine:handle",
        ("'mine:handle'", "No module named 'mine'", "Expected mine.py in"),
    ),
    WrongInput(
        "a misspelt function",
        "fmq process --handler reading:handle",
        ("'reading:handle'", "has no 'handle'", "Did you mean 'handel'?"),
    ),
    WrongInput(
        "an invalid topic filter", "fmq listen 'a/#/b'", ("TOPIC='a/#/b'", "# before its last level", "such as")
    ),
    WrongInput("no topic filter", "fmq listen", ("FMQ_TOPICS", "no topic filter is given", "such as dstdb")),
    WrongInput(
        "a broker's URL without a scheme",
        "fmq listen q --broker-url broker.local:1883",
        ("--broker-url='broker.local:1883'", "no scheme", "mqtt://broker.local:1883", "expected"),
    ),
    WrongInput(
        "a port that is taken",
        "fmq process --http-port {port}",
        ("FMQ_HTTP_PORT={port}", "in use", "FMQ_HTTP_PORT=0 picks a free port"),
        code=1,
    ),
    WrongInput(
        "a broker that is down",
        "fmq listen q --connect-attempts 1 --broker-url mqtt://127.0.0.1:1",
        ("No connection to mqtt://127.0.0.1:1", "Connection refused", "Check the broker", "fmq doctor"),
        code=1,
    ),
    WrongInput(
        "a wrong password",
        "fmq listen q --connect-attempts 1 --broker-url {broker}",
        ("{broker}", "Not authorized", "FMQ_BROKER_USERNAME, FMQ_BROKER_PASSWORD", "fmq doctor"),
        code=1,
        environ={"FMQ_BROKER_USERNAME": "anna", "FMQ_BROKER_PASSWORD": "hunter2"},
    ),
    WrongInput(
        "a store that is missing",
        "fmq status --queue-url sqlite:///queue.db",
        ("queue.db", "Did you mean mqtt_queue.db", "FMQ_QUEUE_URL"),
        code=3,
    ),
    WrongInput(
        "a store that is not a database",
        "fmq status --queue-url sqlite:///text.db",
        ("text.db", "not an SQLite database", "not changed", "FMQ_QUEUE_URL", "fmq set-aside"),
        code=3,
    ),
    WrongInput(
        "a store of a newer fmq",
        "fmq status --queue-url sqlite:///newer.db",
        ("newer.db", "newer fmq (schema 99", "not changed", "Use that version"),
        code=3,
    ),
    WrongInput(
        "a path where a URL is expected",
        "fmq status --queue-url mqtt_queue.db",
        ("--queue-url='mqtt_queue.db'", "expected sqlite:///mqtt_queue.db"),
    ),
    WrongInput(
        "a file of a secret that can't be read",
        "fmq listen q",
        ("FMQ_BROKER_PASSWORD_FILE='nowhere'", "No such file", "expected the path of a text file"),
        environ={"FMQ_BROKER_USERNAME": "anna", "FMQ_BROKER_PASSWORD_FILE": "nowhere"},
    ),
    WrongInput("a negative number", "fmq process --batch -5", ("--batch='-5'", "expected a whole number from 1")),
    WrongInput(
        "several invalid settings at once",
        "fmq process",
        ("FMQ_BATCH='ten'", "FMQ_LOG_LEVEL='loud'", "expected DEBUG, INFO"),
        environ={"FMQ_BATCH": "ten", "FMQ_LOG_LEVEL": "loud"},
    ),
    WrongInput(
        "a secret as a flag",
        "fmq listen q --broker-password hunter2",
        ("--broker-password is not a flag", "other users", "FMQ_BROKER_PASSWORD_FILE"),
    ),
    WrongInput(
        "an unknown message id",
        "fmq dead show 'sensors/#' 999",
        ("no dead letter 999", "fmq dead list 'sensors/#'"),
        code=4,
    ),
    WrongInput("an empty queue", "fmq dead list alarms", ("0 of 0 dead letters of alarms",), code=0),
    WrongInput(
        "a bad time",
        "fmq dead list 'sensors/#' --since yesterday",
        ("'--since'", "'yesterday'", "expected one like 2h", "fmq dead list --help"),
    ),
    WrongInput(
        "a bad JMESPath expression",
        "fmq process --decode json --filter \"body.kind = 'x'\"",
        ("--filter", "Unknown token '=' at character 11", "equal is ==", "such as body.kind == 'alarm'"),
    ),
    WrongInput(
        "a missing extra",
        "fmq status --queue-url postgresql://fmq@127.0.0.1/fmq",
        ("psycopg", "not installed", "pip install"),
        blocked=("psycopg",),
    ),
    WrongInput(
        "a missing extra of tracing",
        "fmq process --tracing otel",
        ("--tracing='otel'", "not installed", "pip install"),
        blocked=("opentelemetry",),
    ),
    WrongInput(
        "a missing extra of a handler",
        "fmq process --handler webhook --webhook-url http://127.0.0.1:1",
        ("'webhook'", "not installed", "pip install"),
        blocked=("httptools",),
    ),
    WrongInput(
        "a handler without its required setting",
        "fmq process --handler webhook",
        ("FMQ_WEBHOOK_URL is not set", "expected https://host/path"),
    ),
    WrongInput(
        "a question that nobody can answer",
        "fmq dead purge 'sensors/#' --all",
        ("Delete 1 dead letter of sensors/#", "no terminal", "--yes"),
    ),
    WrongInput(
        "a file that exists already",
        "fmq export 'sensors/#' --output text.db",
        ("text.db already exists", "never replaces"),
        code=1,
    ),
    WrongInput(
        "another program's word for a command", "fmq run", ("'run'", "`fmq listen TOPIC` and `fmq process TOPIC`")
    ),
    WrongInput("an argument as an option", "fmq listen --topic a", ("--topic", "`fmq listen TOPIC`")),
    WrongInput(
        "a misspelt variable", "fmq process", ("FMQ_BATHC", "Did you mean FMQ_BATCH?"), environ={"FMQ_BATHC": "5"}
    ),
    WrongInput(
        "two units",
        "fmq process --lease-seconds 1h30m",
        ("--lease-seconds='1h30m'", "expected a time", "Did you mean 90m?"),
    ),
    WrongInput("a unit that is not known", "fmq process --batch-bytes 64M", ("'64M'", "Did you mean 64MiB?")),
    WrongInput("a rate without a unit", "fmq process --rate-limit 100", ("'100'", "it has no unit", "100/s")),
    WrongInput(
        "text in double quotes in a filter",
        "fmq process --filter 'topic == \"fire\"'",
        ("unknown field 'fire'", "text is in single quotes: 'fire'"),
    ),
    WrongInput(
        "a file where a module is expected",
        "fmq process --handler reading.py:handel",
        ("'reading.py:handel'", "package.module:function", "Did you mean 'reading:handel'?"),
    ),
    WrongInput(
        "a file that has the name of a module",
        "fmq try queue:handle --payload 20",
        ("queue has no 'handle'", "queue.py is not it", "rename the file"),
        files={"queue.py": "def handle(message): ..."},
    ),
    WrongInput(
        "a handler with two untyped parameters",
        "fmq try mine:handle --payload 20",
        ("'mine:handle'", "its signature is (message, database)", "need a type"),
        files={"mine.py": "def handle(message, database): ..."},
    ),
    WrongInput(
        "two parameters for one thing",
        "fmq try mine:handle --payload 20",
        ("what setup() made only once", "'payload' and 'state' both do", "a type of its own"),
        files={"mine.py": "def setup() -> dict:\n    return {}\n\ndef handle(payload: dict, state: dict): ..."},
    ),
    WrongInput(
        "a file of settings without quotes",
        "fmq process",
        ("fmq.toml:2:11", "expected text in quotes"),
        files={"fmq.toml": "[processor]\nhandler = mine:handle"},
    ),
    WrongInput(
        "keys of other tables",
        "fmq process",
        (
            "fmq.toml:2: unknown key topic",
            "Did you mean topics?",
            "unknown key webhook_url",
            "Did you mean webhook.url?",
        ),
        files={"fmq.toml": '[[route]]\ntopic = "alarms/fire"\nwebhook_url = "https://example.com"'},
    ),
    WrongInput(
        "a route that names no queue",
        "fmq process",
        ("fmq.toml:2: queues=[]", "names nothing", "expected the names of queues"),
        files={"fmq.toml": "[[route]]\nqueues = []"},
    ),
    WrongInput(
        "topics that are not in the queues of their route",
        "fmq process",
        ("fmq.toml:3: topics", "the queue alarms/+", "expected topics within the queues"),
        files={"fmq.toml": '[[route]]\nqueues = ["alarms/+"]\ntopics = ["sensors/#"]'},
    ),
    WrongInput(
        "a flag for several routes",
        "fmq process --batch 5",
        ("--batch would count for all 2 routes", "(fmq.toml:3)", "leave it out, or change the file"),
        files={"fmq.toml": '[[route]]\nqueues = ["alarms"]\nbatch = 10\n[[route]]'},
    ),
    WrongInput(
        "a message that no route takes",
        "fmq try --topic elsewhere --payload 20",
        ("No route takes a message", "'elsewhere'", "--queue and --topic of one of the routes"),
        files={"fmq.toml": '[[route]]\nqueues = ["alarms"]'},
    ),
    WrongInput(
        "a store in memory",
        "fmq status --queue-url sqlite:///:memory:",
        ("in memory is lost", "expected the path of a file"),
    ),
    WrongInput("a port that is chosen at the start", "fmq health --port 0", ("(http_port)",)),
    WrongInput(
        "a dead letter that is not there",
        "fmq dead requeue 'sensors/#' 999",
        ("no dead letter 999", "fmq dead list"),
        code=4,
    ),
    WrongInput(
        "a project with the name of a package",
        "fmq init pydantic",
        ("'pydantic'", "a Python module pydantic exists", "--name plant"),
    ),
)
