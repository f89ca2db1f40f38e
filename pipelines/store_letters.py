"""What a store tells its customers, and when it tries again."""

from periodiq import cron

from actors.emails.confirm_purchase import confirm_purchase
from actors.emails.notify_refund import notify_refund
from actors.emails.try_again import try_again
from actors.emails.welcome import welcome
from broker import Pipeline, Schedule
from schemas.emails import EmailRetryDue

purchase_confirmation = Pipeline("purchase-confirmation", confirm_purchase)
refund_notification = Pipeline("refund-notification", notify_refund)
welcome_letter = Pipeline("welcome-letter", welcome)
letters_again = Pipeline("letters-again", try_again)
retry_letters = Schedule("retry-letters", cron("*/10 * * * *"), EmailRetryDue(), timezone="UTC")
