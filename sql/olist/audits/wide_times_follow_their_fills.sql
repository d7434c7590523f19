-- A filled time is not before the step that it was filled from.
SELECT order_id, purchased_at, approved_at, carrier_at, delivered_at
FROM wide
WHERE (approved_at_filled AND approved_at < purchased_at)
    OR (carrier_at_filled AND carrier_at < approved_at)
    OR (delivered_at_filled AND delivered_at < carrier_at)
