"""What a user is told is kept once."""

from actors.notifications.notify import notify
from schemas.notifications import NotificationSend
from tests.actors.stages import stage

HELLO = NotificationSend(user_id="ada", title="Hello", message="It's here", type="warning")


def test_a_notification_is_one_unread_row_and_the_run_names_it(dsn: str) -> None:
    with stage(dsn, notify) as play:
        for _ in range(3):
            play.publish(HELLO, id="the-same")
        play.drain()

        [(id, *row)] = play.rows(
            "select id, user_id, title, message, type, read from notifications.notification"
        )
        assert row == ["ada", "Hello", "It's here", "warning", False]
        told = {"id": str(id), "user_id": "ada", "title": "Hello", "message": "It's here", "type": "warning"}
        assert play.rows("select channel, name, data from broadcast") == [
            ("user-ada", "notification-received", {"notification": told})
        ]
        assert play.rows("select result from run") == [({"notification_id": str(id)},)]


def test_two_events_of_the_same_words_are_two_notifications(dsn: str) -> None:
    with stage(dsn, notify) as play:
        play.publish(HELLO)
        play.publish(HELLO)
        play.drain()

        assert play.rows("select count(*) from notifications.notification") == [(2,)]
