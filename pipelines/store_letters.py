"""What a store tells its customers."""

from actors.emails.confirm_purchase import confirm_purchase
from actors.emails.notify_refund import notify_refund
from actors.emails.welcome import welcome
from broker import Pipeline

purchase_confirmation = Pipeline("purchase-confirmation", confirm_purchase)
refund_notification = Pipeline("refund-notification", notify_refund)
welcome_letter = Pipeline("welcome-letter", welcome)
