{# One failing row for each value below `minimum`; nulls are the business of not_null. #}
{% test at_least(model, column_name, minimum) %}
select *
from {{ model }}
where {{ column_name }} < {{ minimum }}
{% endtest %}
