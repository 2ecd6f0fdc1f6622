-- What the sales dashboard asks.
select segment, sum(revenue) as revenue, sum(orders) as orders
from marts.customer_statistics
group by segment
order by revenue desc
