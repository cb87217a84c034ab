-- What the JSON path $1 is: a predicate ($.n > 5), which always finds true, false or null, when another
-- path finds none of them in an empty object; and whether it may use variables, which are printed as
-- $"name". A path that is none is an error here, and so are variables ($2) that are not an object.
SELECT coalesce(jsonb_typeof(jsonb_path_query_first('{}', $1::text::jsonpath,
                                                    coalesce($2::text::jsonb, '{}'), true))
                IN ('boolean', 'null'), false) AS "predicate!",
       position('$"' IN ($1::text::jsonpath)::text) > 0 AS "variables!"
