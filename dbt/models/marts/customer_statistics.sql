-- The left join keeps each order, with or without a customer: an order can come before its customer.
with placed as (

    select
        coalesce(customers.segment, 'unknown') as segment,
        coalesce(customers.country, 'unknown') as country,
        cast(date_trunc('month', orders.ordered_at at time zone 'UTC') as date) as month,
        orders.customer_id,
        case when orders.status in ('cancelled', 'returned') then 0 else orders.amount_eur end as earned
    from {{ ref('stg_orders') }} as orders
    left join {{ ref('stg_customers') }} as customers on customers.customer_id = orders.customer_id

)

select
    segment,
    country,
    month,
    count(distinct customer_id) as customers,
    count(*) as orders,
    cast(sum(earned) as decimal(38, 2)) as revenue
from placed
group by segment, country, month
