-- Creates fmq's user and database. The password is read from a file, and stays out of the server's log.
SET log_statement = 'none';
SET log_min_error_statement = 'panic';
SET log_min_duration_statement = -1;
-- A new cluster has no standby yet.
SET synchronous_commit = 'local';
\set password `cat /passwords/fmq`
CREATE ROLE fmq LOGIN PASSWORD :'password';
-- For `fmq doctor`, which looks for a synchronous standby.
GRANT pg_monitor TO fmq;
CREATE DATABASE fmq OWNER fmq TEMPLATE template0 ENCODING 'UTF8';
