-- Names and e-mail addresses stay behind: no statistic needs them.
select
    customer_id,
    segment,
    country,
    updated_at
from {{ source('raw', 'customers') }}
