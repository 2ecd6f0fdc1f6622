-- Staging holds exactly the current orders and customers of the raw data.
(select 'orders' as dataset, order_id::varchar as key, 'not staged' as fault from raw.orders
    except all
    select 'orders', order_id::varchar, 'not staged' from staging.stg_orders)
union all
(select 'orders', order_id::varchar, 'not in raw' from staging.stg_orders
    except all
    select 'orders', order_id::varchar, 'not in raw' from raw.orders)
union all
(select 'customers', customer_id, 'not staged' from raw.customers
    except all
    select 'customers', customer_id, 'not staged' from staging.stg_customers)
union all
(select 'customers', customer_id, 'not in raw' from staging.stg_customers
    except all
    select 'customers', customer_id, 'not in raw' from raw.customers)
