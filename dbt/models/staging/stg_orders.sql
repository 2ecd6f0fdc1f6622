select
    order_id,
    customer_id,
    status,
    amount,
    currency,
    {{ in_eur('amount', 'currency') }} as amount_eur,
    ordered_at,
    updated_at
from {{ source('raw', 'orders') }}
