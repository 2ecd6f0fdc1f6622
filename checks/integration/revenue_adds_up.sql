-- Each month has the revenue of its orders that are neither cancelled nor returned, to the cent.
with
staged as (
    select
        cast(date_trunc('month', ordered_at at time zone 'UTC') as date) as month,
        coalesce(sum(amount_eur) filter (status not in ('cancelled', 'returned')), 0) as revenue
    from staging.stg_orders
    group by all
),
shown as (
    select month, sum(revenue) as revenue
    from marts.customer_statistics
    group by all
)
select month, staged.revenue as staged, shown.revenue as shown
from staged
full join shown using (month)
where staged.revenue is distinct from shown.revenue
