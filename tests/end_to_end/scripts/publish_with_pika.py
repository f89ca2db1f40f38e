"""Publish messages as a stranger does, who has pika and our contract: each line of standard input is one message, as JSON.

    publish_with_pika.py AMQP_URL EXCHANGE    {"key": …, "headers": {…}, "body": …, "content_type": …}

Returns when the server has confirmed all of them.
"""

import json
import sys

import pika


def main() -> None:
    url, exchange = sys.argv[1:]
    connection = pika.BlockingConnection(pika.URLParameters(url))
    channel = connection.channel()
    channel.confirm_delivery()
    for line in sys.stdin:
        message = json.loads(line)
        channel.basic_publish(
            exchange,
            message["key"],
            message["body"].encode("latin-1"),
            pika.BasicProperties(
                content_type=message["content_type"], headers=message["headers"], delivery_mode=2
            ),
            mandatory=True,
        )
    connection.close()


if __name__ == "__main__":
    main()
