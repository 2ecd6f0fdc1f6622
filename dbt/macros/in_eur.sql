{#
    An amount in euros, rounded to cents (halves away from zero); null for a currency without a rate.
    The rates are fixed and made up: this is a demo. Decimals all the way, so that equal input gives equal bytes.
#}
{% macro in_eur(amount, currency) -%}
    cast(round({{ amount }} * case {{ currency }}
        when 'EUR' then cast(1.0000 as decimal(9, 4))
        when 'USD' then cast(0.8500 as decimal(9, 4))
        when 'GBP' then cast(1.1500 as decimal(9, 4))
    end, 2) as decimal(18, 2))
{%- endmacro %}
