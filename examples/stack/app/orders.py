"""An internal API before the database, which it reaches at its virtual IP: `db:5432`."""

import psycopg2

import serve


def answer(path):
    with open("/run/secrets/database-password", encoding="ascii") as secret:
        password = secret.read().strip()
    try:
        database = psycopg2.connect(host="db", user="shop", dbname="postgres", password=password, connect_timeout=5)
        with database, database.cursor() as cursor:
            if path == "/new":
                cursor.execute("insert into orders default values")
            cursor.execute("select count(*) from orders")
            count = cursor.fetchone()[0]
        database.close()
    except psycopg2.Error as error:
        return 502, {"orders": serve.NAME, "error": str(error).strip()}
    return 200, {"orders": serve.NAME, "count": count}


serve.serve(answer)
