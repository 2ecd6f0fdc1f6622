-- Each month has as many orders in the mart as in staging: the join with customers neither loses nor doubles one.
with
staged as (
    select cast(date_trunc('month', ordered_at at time zone 'UTC') as date) as month, count(*) as orders
    from staging.stg_orders
    group by all
),
shown as (
    select month, sum(orders) as orders
    from marts.customer_statistics
    group by all
)
select month, staged.orders as staged, shown.orders as shown
from staged
full join shown using (month)
where staged.orders is distinct from shown.orders
