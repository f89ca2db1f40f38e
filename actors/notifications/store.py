"""What the notifications domain keeps."""

SAVE_NOTIFICATION = """
insert into notifications.notification (id, user_id, title, message, type)
values (%(id)s, %(user_id)s, %(title)s, %(message)s, %(type)s)
on conflict (id) do nothing"""

ERASE = "delete from notifications.notification where user_id = %(person)s"
