-- No row of the mart lies before the year 2000: a date of 1970 is a lost one
select *
from marts.customer_statistics
where month < date '2000-01-01'
