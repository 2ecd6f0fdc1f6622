-- No row of the mart lies in a month after that of the newest order.
select *
from marts.customer_statistics
where month > (select cast(max(ordered_at) at time zone 'UTC' as date) from staging.stg_orders)
